"""What is computed, and how: specs, filters, graphs, passes and schedules."""
