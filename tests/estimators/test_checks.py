"""Every estimator passes scikit-learn's own checks; none is expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from trilineage import BarcodeClassifier, DiseaseClassifier, HierarchicalClassifier

QUICK = {"epochs": 4, "batch_size": 64, "learning_rate": 0.1, "device": "cpu"}


@parametrize_with_checks(
    [
        BarcodeClassifier(inverse_penalties=(10.0,)),
        DiseaseClassifier(hidden=(16,), **QUICK),
        HierarchicalClassifier(**QUICK),
    ]
)
def test_scikit_learn_finds_nothing_to_mend(estimator, check):
    check(estimator)
