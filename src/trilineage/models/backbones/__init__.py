"""Networks that turn pixels into features, behind one interface; the only place that knows timm."""
