"""What is measured, in which units, under which identity: pure, nothing read or written."""
