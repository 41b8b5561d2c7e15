"""One verb a file; each is a public function that returns a value."""
