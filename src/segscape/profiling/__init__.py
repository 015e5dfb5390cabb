"""What a model costs: counted work, measured time, and the machine that both were taken on."""
