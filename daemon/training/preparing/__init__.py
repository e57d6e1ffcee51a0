"""What a run is given before its child starts: rows held out, features, the model to continue from, a teacher."""
