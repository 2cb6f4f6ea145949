"""One thin command per public function."""
