"""What each verdict was reached from, kept so that anybody can reach it again."""
