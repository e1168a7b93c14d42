#!/bin/sh
cat generated > ../post.log
