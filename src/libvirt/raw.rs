//! What the crate `virt` has no safe way for: events, the reason of a state, jobs, and what guests say. But for the
//! watchdog's, the only `unsafe` of the product.

#![allow(
    unsafe_code,
    reason = "the functions called here have no safe counterpart in the crate; each use says why it is sound"
)]

use crate::core::action::Ended;
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::os::raw::{c_char, c_int, c_ulonglong, c_void};
use std::sync::Arc;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

/// What the daemon tells of a domain without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// It was defined or edited.
    Defined,
    /// Its definition was removed.
    Undefined,
    /// Its process powers off, because the guest wants to.
    PoweredOff,
    /// Its process powers off, because it was told to from outside the guest.
    ToldToEnd,
    /// Its process is gone, and how it ended.
    Stopped(Ended),
    /// Another step of its life.
    Changed,
    /// A disk cannot be read or written.
    IoError,
    /// The guest's own watchdog has fired.
    Watchdog,
    /// The agent in the guest came or went.
    Agent,
}

/// Where events go, with the UUID of the domain. It is called on the thread of the event loop and must not wait.
pub(super) type Sink = Arc<dyn Fn(u128, Happening) + Send + Sync>;

/// A domain's state and its reason, as libvirt numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) state: u32,
    pub(super) reason: u32,
}

/// What [`subscribe`] has registered on a connection. As long as it is, libvirt keeps the connection in memory.
#[derive(Debug, Default)]
pub(super) struct Subscription(Vec<c_int>);

/// Has the events of all domains told to `sink`.
pub(super) fn subscribe(connect: &Connect, sink: &Sink) -> Result<Subscription, Error> {
    let mut subscription = Subscription::default();
    let generic = |callback: *const c_void| {
        // SAFETY: libvirt declares callbacks of every event as this one type of function and calls each with the
        // arguments of its event: the pointers below are of functions with exactly those.
        unsafe { std::mem::transmute::<*const c_void, sys::virConnectDomainEventGenericCallback>(callback) }
    };
    for (event, callback) in [
        (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle as *const c_void),
        (sys::VIR_DOMAIN_EVENT_ID_IO_ERROR, io_error as *const c_void),
        (sys::VIR_DOMAIN_EVENT_ID_WATCHDOG, watchdog as *const c_void),
        (sys::VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, agent as *const c_void),
    ] {
        let opaque = Box::into_raw(Box::new(Arc::clone(sink)));
        // SAFETY: the connection lives during the call. `opaque` stays valid until libvirt gives it to `forget`.
        let registered = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connect.as_ptr(),
                std::ptr::null_mut(),
                event as c_int,
                generic(callback),
                opaque.cast(),
                Some(forget),
            )
        };
        if registered < 0 {
            let error = Error::last_error();
            // SAFETY: libvirt keeps nothing of a registration that failed, and frees nothing either.
            drop(unsafe { Box::from_raw(opaque) });
            unsubscribe(connect, subscription);
            return Err(error);
        }
        subscription.0.push(registered);
    }
    Ok(subscription)
}

/// Ends that. A connection that has broken only forgets, and one to a daemon that hangs may make this hang.
pub(super) fn unsubscribe(connect: &Connect, subscription: Subscription) {
    for registered in subscription.0 {
        // SAFETY: the connection lives during the call, and this was registered on it and on no other. Where the daemon
        // cannot be told, libvirt has let go of it before.
        let _told = unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), registered) };
    }
}

/// A domain's state. The crate's own function takes an error for a state.
pub(super) fn state(domain: &Domain) -> Result<State, Error> {
    let (mut state, mut reason): (c_int, c_int) = (0, 0);
    // SAFETY: the domain and both numbers live during the call.
    match unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) } {
        0 => Ok(State { state: state.cast_unsigned(), reason: reason.cast_unsigned() }),
        _ => Err(Error::last_error()),
    }
}

/// A long operation that is under way on a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// Which, as libvirt numbers them.
    pub(super) operation: i32,
    /// How much memory there is to be sent, if that is known yet, and how much of it is left.
    pub(super) memory: Option<(u64, u64)>,
}

impl Job {
    /// Whether the domain is being moved away alive.
    pub(super) fn leaves(&self) -> bool {
        self.operation == sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT.cast_signed()
    }

    /// Whether it is being moved in alive.
    pub(super) fn arrives(&self) -> bool {
        self.operation == sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN.cast_signed()
    }
}

/// The long operation that is under way on a domain, if any.
pub(super) fn job(domain: &Domain) -> Result<Option<Job>, Error> {
    let (mut kind, mut found): (c_int, _) = (0, Parameters::default());
    // SAFETY: the domain and the places for the answer live during the call.
    let asked = unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &mut kind, &mut found.first, &mut found.count, 0) };
    if asked != 0 {
        return Err(Error::last_error());
    }
    let total = found.number(sys::VIR_DOMAIN_JOB_MEMORY_TOTAL);
    let memory = total.zip(found.number(sys::VIR_DOMAIN_JOB_MEMORY_REMAINING));
    let operation = found.integer(sys::VIR_DOMAIN_JOB_OPERATION);
    let operation = operation.filter(|_| kind.cast_unsigned() != sys::VIR_DOMAIN_JOB_NONE);
    Ok(operation.map(|operation| Job { operation, memory }))
}

/// What a guest's agent says that its operating system is called. The daemon asks the agent, whose answer it waits for.
pub(super) fn guest_system(domain: &Domain) -> Result<Option<String>, Error> {
    let mut found = Parameters::default();
    let what = sys::VIR_DOMAIN_GUEST_INFO_OS;
    // SAFETY: the domain and the places for the answer live during the call.
    match unsafe { sys::virDomainGetGuestInfo(domain.as_ptr(), what, &mut found.first, &mut found.count, 0) } {
        0 => {
            let of_parts = || Some(format!("{} {}", found.text(c"os.name")?, found.text(c"os.version")?));
            Ok(found.text(c"os.pretty-name").or_else(of_parts).or_else(|| found.text(c"os.id")))
        }
        _ => Err(Error::last_error()),
    }
}

/// Values with names, as libvirt answers with them.
struct Parameters {
    first: sys::virTypedParameterPtr,
    count: c_int,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters { first: std::ptr::null_mut(), count: 0 }
    }
}

impl Parameters {
    fn integer(&self, name: &CStr) -> Option<i32> {
        let mut value: c_int = 0;
        // SAFETY: libvirt has set `first` to `count` values, or they are null and zero, which it takes, too.
        let found = unsafe { sys::virTypedParamsGetInt(self.first, self.count, name.as_ptr(), &mut value) };
        (found == 1).then_some(value)
    }

    fn number(&self, name: &CStr) -> Option<u64> {
        let mut value: c_ulonglong = 0;
        // SAFETY: as above.
        let found = unsafe { sys::virTypedParamsGetULLong(self.first, self.count, name.as_ptr(), &mut value) };
        (found == 1).then_some(value)
    }

    fn text(&self, name: &CStr) -> Option<String> {
        let mut value: *const c_char = std::ptr::null();
        // SAFETY: as above. What is found is a text that lives as long as the values, and is copied.
        unsafe {
            let found = sys::virTypedParamsGetString(self.first, self.count, name.as_ptr(), &mut value);
            (found == 1 && !value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
        }
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: they are libvirt's, as above, and freed once.
        unsafe { sys::virTypedParamsFree(self.first, self.count) };
    }
}

/// Has the long operation that is under way on a domain given up.
pub(super) fn abort(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain lives during the call.
    match unsafe { sys::virDomainAbortJob(domain.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::last_error()),
    }
}

unsafe extern "C" fn forget(opaque: *mut c_void) {
    // SAFETY: libvirt calls this once for each registration, with the box that was made for it, and never uses it again.
    drop(unsafe { Box::from_raw(opaque.cast::<Sink>()) });
}

/// Tells the sink behind `opaque`.
///
/// # Safety
///
/// `domain` must be a domain of libvirt, and `opaque` what [`subscribe`] made.
unsafe fn tell(domain: sys::virDomainPtr, opaque: *mut c_void, happening: Happening) {
    let mut uuid = [0_u8; sys::VIR_UUID_BUFLEN as usize];
    // SAFETY: by this function's contract; the buffer is as long as libvirt says that it must be.
    if unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) } == 0 {
        // SAFETY: by this function's contract the sink lives until `forget`, which libvirt calls after the last event.
        let sink = unsafe { &*opaque.cast::<Sink>() };
        sink(u128::from_be_bytes(uuid), happening);
    }
}

extern "C" fn lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let happening = match (event.cast_unsigned(), detail.cast_unsigned()) {
        (sys::VIR_DOMAIN_EVENT_DEFINED, _) => Happening::Defined,
        (sys::VIR_DOMAIN_EVENT_UNDEFINED, _) => Happening::Undefined,
        (sys::VIR_DOMAIN_EVENT_SHUTDOWN, sys::VIR_DOMAIN_EVENT_SHUTDOWN_GUEST) => Happening::PoweredOff,
        (sys::VIR_DOMAIN_EVENT_SHUTDOWN, sys::VIR_DOMAIN_EVENT_SHUTDOWN_HOST) => Happening::ToldToEnd,
        (sys::VIR_DOMAIN_EVENT_STOPPED, detail) => Happening::Stopped(stopped(detail)),
        _ => Happening::Changed,
    };
    // SAFETY: libvirt calls this with a domain, and with what was registered.
    unsafe { tell(domain, opaque, happening) };
    0
}

/// How a process ended, by what an event says of it.
fn stopped(detail: u32) -> Ended {
    match detail {
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => Ended::GuestPoweroff,
        // A saved domain was stopped by a person, and is started from its saved state. So was one that a person has taken
        // back to how it was.
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED
        | sys::VIR_DOMAIN_EVENT_STOPPED_SAVED
        | sys::VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT => Ended::Destroyed,
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => Ended::Crashed,
        sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED => Ended::Moved,
        _ => Ended::Unknown,
    }
}

extern "C" fn io_error(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _path: *const c_char,
    _alias: *const c_char,
    _action: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt calls this with a domain, and with what was registered.
    unsafe { tell(domain, opaque, Happening::IoError) };
}

extern "C" fn watchdog(_: sys::virConnectPtr, domain: sys::virDomainPtr, _action: c_int, opaque: *mut c_void) {
    // SAFETY: libvirt calls this with a domain, and with what was registered.
    unsafe { tell(domain, opaque, Happening::Watchdog) };
}

extern "C" fn agent(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _state: c_int,
    _reason: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt calls this with a domain, and with what was registered.
    unsafe { tell(domain, opaque, Happening::Agent) };
}

/// Whether another process has a byte of a file locked, in whatever way. The crate `rustix` cannot be asked: it takes the
/// owner of a lock for a process number, which this kind of lock has not.
pub(super) fn is_byte_locked(file: &std::fs::File, byte: i64) -> std::io::Result<bool> {
    let kind = |kind: c_int| libc::c_short::try_from(kind).unwrap_or_default();
    let mut lock =
        libc::flock { l_type: kind(libc::F_WRLCK), l_whence: kind(libc::SEEK_SET), l_start: byte, l_len: 1, l_pid: 0 };
    // SAFETY: the file and the lock live during the call, which takes no lock and writes to this one only.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(lock.l_type != kind(libc::F_UNLCK)),
    }
}
