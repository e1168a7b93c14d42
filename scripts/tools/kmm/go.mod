module kmodforge/scripts/tools/kmm

go 1.21

require github.com/rh-ecosystem-edge/kernel-module-management v0.0.0-20240925181841-898c27853e89
