"""Ends the program that imports it."""

import sys

sys.exit("this plugin needs a licence")
