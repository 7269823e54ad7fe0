"""Many runs at once: found, listed, looked into, compared; all of it from their folders alone."""
