#!/bin/bash
# Never run: there was no TPU to try it on.
#
#     NAME=pod ZONE=us-central2-b CONFIG=configs/cgan_cifar10.py WORKDIR=/mnt/shared/runs/cgan \
#         experiments/tpu_pod.sh
#
# Starts training on every host of a TPU pod slice; JAX finds the others by itself. The repository
# is expected in $FOLDER of each host, installed with its extra `tpu`, and WORKDIR on storage that
# all hosts share. The same command goes on after a preemption. $FLAGS may hold --config.x=y flags.
set -euo pipefail
NAME=${NAME:?of the TPU} ZONE=${ZONE:?of the TPU} FOLDER=${FOLDER:-gans} FLAGS=${FLAGS:-}
CONFIG=${CONFIG:?a config file} WORKDIR=${WORKDIR:?a run folder on shared storage}

gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="
  cd '$FOLDER' && exec python3 -m experiments.train --distributed \
    --config='$CONFIG' --workdir='$WORKDIR' $FLAGS"
