#!/bin/sh
# Cleans up /dev/shm after each Slurm job. In slurm.conf, or called by an epilog that you have already:
#
#     Epilog=/usr/share/shmtool/hooks/slurm-epilog.sh
#
# It removes what nobody uses of the user of the job, unless another job of the user is running on this node. This shows
# what it would remove for a user:
#
#     shmtool unlink --dry-run --owner USER --unused

# Add the directory of squeue, if it is another one.
PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
# If an epilog failed, Slurm would drain the node. So each problem is a message.
if [ -z "$SLURM_JOB_UID" ] || [ -z "$SLURM_JOB_ID" ] || [ -z "$SLURMD_NODENAME" ]; then
    echo "shmtool: no clean-up: this is not the epilog of a Slurm job" >&2
# Not the jobs that are completing: if two end at the same time, each would wait for the other.
elif ! jobs=$(squeue -h -w "$SLURMD_NODENAME" -u "$SLURM_JOB_UID" -t configuring,running,suspended -o %A); then
    echo "shmtool: no clean-up: squeue does not say whether user $SLURM_JOB_UID has another job here" >&2
elif ! echo "$jobs" | grep -qvxF -e "$SLURM_JOB_ID" -e ''; then
    shmtool unlink --verbose --owner "$SLURM_JOB_UID" --unused ||
        echo "shmtool: clean-up after job $SLURM_JOB_ID failed" >&2
fi
exit 0
