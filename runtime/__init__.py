"""Source text to something that runs: plans, their cache, threads and FFT library."""
