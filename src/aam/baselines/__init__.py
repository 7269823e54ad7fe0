"""What stands beside a model: simpler ways, trained and tested on the very same samples."""
