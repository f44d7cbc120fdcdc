"""Tests of modules by themselves, without a deployed stack; the folders mirror the code's."""
