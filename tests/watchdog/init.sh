#!/bin/busybox sh
# The first process of the guest: works a real watchdog with the real program, and says on the console how that went.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox --install -s /bin
export PATH=/bin LC_ALL=C.UTF-8

say() { echo "== $*"; }
hold() { holdfast watchdog hold --seconds 4 "$@" 2>&1; }

say no driver
holdfast watchdog probe 2>&1

insmod /modules/watchdog.ko
insmod /modules/i6300esb.ko
say probe
holdfast watchdog probe 2>&1
say short
holdfast watchdog probe --seconds 1 --device /dev/watchdog0 2>&1
say not started by a probe
cat /sys/class/watchdog/watchdog0/state

say closed in good order
hold --feed 6 --then close
cat /sys/class/watchdog/watchdog0/state
sleep 6

say opened again in time after its agent died
hold --then leave
cat /sys/class/watchdog/watchdog0/state
sleep 2
hold --feed 6 --then close
sleep 6
say lives

say taken
holdfast watchdog hold --seconds 4 --feed 5 --then close >/dev/null 2>&1 &
sleep 2
hold --then close
wait
# Another process than an agent that has it open.
sleep 3 > /dev/watchdog &
sleep 1
hold --then close
wait
# The shell has closed it without the magic letter: it counts on, and the next one goes on with it.
hold --then close

say software
insmod /modules/softdog.ko nowayout=1
holdfast watchdog probe --device /dev/watchdog1 2>&1

say no way out
hold --device /dev/watchdog1 --then close --stay 6
cat /sys/class/watchdog/watchdog1/state /sys/class/watchdog/watchdog1/timeout
sleep 6
say lives on

say left alone
hold --feed 6 --then leave
say not fed any more
sleep 60
say STILL HERE
poweroff -f
