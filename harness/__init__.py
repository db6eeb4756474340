"""Test harness for 信创 adaptation: deploys, tests and certifies software on declared targets."""

__version__ = "0.1.0"
