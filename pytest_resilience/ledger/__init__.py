"""What happened, kept on disk so that no kill can take it away. Standard library, filelock and the core, no pytest."""
