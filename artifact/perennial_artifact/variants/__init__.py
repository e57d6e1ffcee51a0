"""An encoder in another form, beside its weights: quicker where library and processor fit, else the weights answer."""
