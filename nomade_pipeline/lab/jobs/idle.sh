#!/bin/sh
# Holds its allocation and uses nothing.
# idle.sh SECONDS
exec sleep "$1"
