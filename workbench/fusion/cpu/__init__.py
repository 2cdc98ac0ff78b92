"""The CPU back end: loop IR to vector code, and the threads that run it."""
