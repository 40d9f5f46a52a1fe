"""Tests of the gateway: its real process on loopback, in front of a scripted engine."""
