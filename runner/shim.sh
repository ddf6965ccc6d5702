# Runs the commands given as its arguments, one after another up to the first that fails, and keeps their record. The
# first argument is the soft limit of open files that they get.
#
# It outlives the server that starts it. Its standard input is the record itself, opened for appending and locked: the
# lock lasts as long as this shell, and no command gets hold of it. See attempt.py for what the record says.

# A signal to the group ends the commands; this shell stays to write down how. (Ignored signals would be inherited.)
stopped=
trap 'stopped=143' HUP INT TERM

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
