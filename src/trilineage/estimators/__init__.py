"""Parts of the lineages as scikit-learn estimators: `fit`, `predict`, `predict_proba` on arrays, with patients."""
