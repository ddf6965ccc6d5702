# Run the commands in the arguments one after another, until one fails, and record their progress. The first argument is
# the soft limit of open files for the commands.
#
# The shim outlives the server that starts it. Its standard input is the record, opened for appending and locked. The
# lock lasts as long as this shell, and no command inherits it. See attempt.py for the lines of the record.

# A signal to the group ends the commands; this shell stays and records the end. (Commands would inherit ignored signals.)
stopped=
trap 'stopped=143' HUP INT TERM QUIT USR1 USR2 WINCH

echo "pid $$" >&0 || exit

ulimit -S -n "$1"
shift

number=0
code=143
for command do
    [ -z "$stopped" ] || break
    number=$((number + 1))
    echo "command $number" >&0
    /bin/sh -c "$command" </dev/null
    code=$?
    [ "$code" -eq 0 ] || break
done

echo "ended ${stopped:-$code}" >&0
