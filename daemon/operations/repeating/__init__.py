"""`perennial train --from-manifest`: a run carried out once more, in a scratch folder."""
