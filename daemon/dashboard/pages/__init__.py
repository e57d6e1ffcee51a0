"""One file for a few pages each: a page asks read models and fills a template."""
