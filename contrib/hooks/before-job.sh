#!/bin/sh
# Cleans up /dev/shm before each job of a GitLab runner (only with the shell executor: in a container, the job would not
# find this file, and fail) or of a self-hosted GitHub runner.
#
# GitLab: in config.toml, in the section [[runners]]:
#     pre_get_sources_script = "/usr/share/shmtool/hooks/before-job.sh"
#
# GitHub: in the file .env in the directory of the runner:
#     ACTIONS_RUNNER_HOOK_JOB_STARTED=/usr/share/shmtool/hooks/before-job.sh
#
# A job in a container usually has its own /dev/shm. For these, use shmtool-sweep.timer on the machine itself.
#
# The default removes what nobody uses and nobody has modified for four hours. It keeps younger objects, because another
# job of the same user may run now, and a script uses an object only while a shmtool command runs. If the user never runs
# two jobs at a time, set SHMTOOL_HOOK=--unused in the environment of the runner.

PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
# The options are several words. A PATTERN among them is not one for the files in this directory.
set -f
# shellcheck disable=SC2086
shmtool unlink --verbose --owner "$(id -u)" ${SHMTOOL_HOOK:---older-than 4h} ||
    echo "shmtool: clean-up failed, the job runs nevertheless" >&2
# If this script failed, the runner would not run the job.
exit 0
