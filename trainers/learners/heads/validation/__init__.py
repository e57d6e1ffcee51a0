"""What held-back rows say: how a head is best solved, what more labels bring, which labels are doubtful."""
