"""A trained model and data in; evidence a haematologist can look at out."""
