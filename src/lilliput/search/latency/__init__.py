"""Smaller by the clock: what each width and block takes in the runtime, and what to give up."""
