"""What events say: their schemas, their wire form, and what is wrong with one."""
