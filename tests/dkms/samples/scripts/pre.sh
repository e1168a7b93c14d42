#!/bin/sh
echo "made for $1" > generated
