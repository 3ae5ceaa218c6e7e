"""Who does the work, and what survives: executors, processes of JAX, whole files, expected memory."""
