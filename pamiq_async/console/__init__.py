"""The program `pamiq-async`: steering and watching a running system from a terminal, and looking through its states."""
