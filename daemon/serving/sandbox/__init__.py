"""The child of the sandbox: opens a candidate as serving does, and asks it what it must be able to answer."""
