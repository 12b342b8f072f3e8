"""What tests of several packages share: small models, worlds and runs."""
