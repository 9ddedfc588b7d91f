"""The stream of readings: triggers, synchronisation, lamp, order."""
