#!/bin/sh
# Works for a moment, then dies of a fault: SEGV reads address 1, KILL is a kill -9 that has nothing to do with memory.
# signal.sh SEGV|KILL
timeout 1 sha256sum /dev/zero
case $1 in
SEGV) exec perl -e 'unpack "p", pack "Q", 1' ;;
KILL) kill -KILL $$ ;;
esac
