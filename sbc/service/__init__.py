"""The room that knows everyone: configuration, wiring, the driver between cores and world, and the `sbc` command."""
