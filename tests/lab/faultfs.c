// A datastore as one host of the lab sees it: a file system that passes everything on to a folder which all hosts
// share, and that can fail or hang for this one host.
//
//     faultfs FOLDER MODE LOCKS MOUNTPOINT      says "ready" when it is
//
// MODE is a file with one of the words of `gate` in it, LOCKS one with "on" or "off". They are read at every call, so a
// fault begins and ends when the file is written. Locks are passed on as open file description locks of the shared
// folder's files: they hold between hosts, and die with this process, as those of a dead host do.

#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { WORD = 16, LOOK_MICROSECONDS = 10000, SLOW_MICROSECONDS = 200000 };

enum access { READS, WRITES };

static int shared_folder;
static const volatile char *mode_word, *locks_word;

static int is(const volatile char *word, const char *wanted) {
    for (;; word++, wanted++) {
        if (*wanted == 0) return *word == 0 || *word == '\n' || *word == ' ';
        if (*word != *wanted) return 0;
    }
}

// Waits, fails or lets pass, as the mode says. What hangs goes on when the mode changes, and not before, not even if it
// is killed: so do the calls of a host that has lost all paths to its storage.
static int gate(enum access access) {
    while (is(mode_word, "hang")) usleep(LOOK_MICROSECONDS);
    if (is(mode_word, "eio") || (is(mode_word, "weio") && access == WRITES)) return -EIO;
    if (is(mode_word, "slow")) usleep(SLOW_MICROSECONDS);
    return 0;
}

#define PASS(access) do { int fault = gate(access); if (fault) return fault; } while (0)

// Paths come from the root of the mount, and are meant from the shared folder, which is open: so it is found even when
// the root of the process has moved.
static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static int answer(long result) { return result == -1 ? -errno : (int)result; }

static int fs_getattr(const char *path, struct stat *found, struct fuse_file_info *file) {
    PASS(READS);
    return answer(file ? fstat(file->fh, found) : fstatat(shared_folder, below(path), found, AT_SYMLINK_NOFOLLOW));
}

static int keep(struct fuse_file_info *file, int descriptor) {
    if (descriptor < 0) return -errno;
    file->fh = descriptor;
    // No page cache of this host: what another one writes is seen at once, as O_DIRECT promises.
    file->direct_io = 1;
    return 0;
}

// O_DIRECT is not passed on, as the buffers here are not aligned. The shared folder's page cache is the disk of the
// lab: it outlives every host.
static int fs_open(const char *path, struct fuse_file_info *file) {
    PASS((file->flags & O_ACCMODE) == O_RDONLY ? READS : WRITES);
    return keep(file, openat(shared_folder, below(path), file->flags & ~(O_DIRECT | O_CREAT | O_EXCL)));
}

static int fs_create(const char *path, mode_t rights, struct fuse_file_info *file) {
    PASS(WRITES);
    return keep(file, openat(shared_folder, below(path), (file->flags & ~O_DIRECT) | O_CREAT, rights));
}

static int fs_read(const char *path, char *bytes, size_t length, off_t at, struct fuse_file_info *file) {
    PASS(READS);
    return answer(pread(file->fh, bytes, length, at));
}

static int fs_write(const char *path, const char *bytes, size_t length, off_t at, struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(pwrite(file->fh, bytes, length, at));
}

static int fs_fsync(const char *path, int only_data, struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(only_data ? fdatasync(file->fh) : fsync(file->fh));
}

// A process that is killed must be able to close what it has open: no gate here.
static int fs_flush(const char *path, struct fuse_file_info *file) { return 0; }

static int fs_release(const char *path, struct fuse_file_info *file) { return close(file->fh), 0; }

static int fs_lock(const char *path, struct fuse_file_info *file, int command, struct flock *lock) {
    if (lock->l_type != F_UNLCK) PASS(READS);
    if (is(locks_word, "off")) {
        lock->l_type = F_UNLCK;
        return 0;
    }
    // The kernel wants no process in a lock of an open file description.
    lock->l_pid = 0;
    if (command == F_GETLK) return answer(fcntl(file->fh, F_OFD_GETLK, lock));
    while (fcntl(file->fh, F_OFD_SETLK, lock) == -1) {
        // Who waits for a lock may be killed.
        if (command != F_SETLKW || (errno != EAGAIN && errno != EACCES)) return -errno;
        if (fuse_interrupted()) return -EINTR;
        usleep(LOOK_MICROSECONDS);
    }
    // libfuse would note this lock, and never forget it when the file is closed. So it is told of an unlocking.
    lock->l_type = F_UNLCK;
    return 0;
}

static int fs_flock(const char *path, struct fuse_file_info *file, int operation) {
    if (!(operation & LOCK_UN)) PASS(READS);
    if (is(locks_word, "off")) return 0;
    while (flock(file->fh, operation | LOCK_NB) == -1) {
        if ((operation & LOCK_NB) || errno != EWOULDBLOCK) return -errno;
        if (fuse_interrupted()) return -EINTR;
        usleep(LOOK_MICROSECONDS);
    }
    return 0;
}

static int fs_readdir(const char *path, void *list, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *file,
                      enum fuse_readdir_flags flags) {
    PASS(READS);
    int descriptor = openat(shared_folder, below(path), O_RDONLY | O_DIRECTORY);
    DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!folder) return -errno;
    for (struct dirent *entry; (entry = readdir(folder));) fill(list, entry->d_name, NULL, 0, 0);
    closedir(folder);
    return 0;
}

static int fs_mkdir(const char *path, mode_t rights) {
    PASS(WRITES);
    return answer(mkdirat(shared_folder, below(path), rights));
}

static int fs_unlink(const char *path) {
    PASS(WRITES);
    return answer(unlinkat(shared_folder, below(path), 0));
}

static int fs_rmdir(const char *path) {
    PASS(WRITES);
    return answer(unlinkat(shared_folder, below(path), AT_REMOVEDIR));
}

static int fs_rename(const char *from, const char *to, unsigned flags) {
    PASS(WRITES);
    return answer(renameat2(shared_folder, below(from), shared_folder, below(to), flags));
}

static int fs_link(const char *from, const char *to) {
    PASS(WRITES);
    return answer(linkat(shared_folder, below(from), shared_folder, below(to), 0));
}

static int fs_chmod(const char *path, mode_t rights, struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(file ? fchmod(file->fh, rights) : fchmodat(shared_folder, below(path), rights, 0));
}

static int fs_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(fchownat(shared_folder, below(path), user, group, AT_SYMLINK_NOFOLLOW));
}

static int fs_truncate(const char *path, off_t length, struct fuse_file_info *file) {
    PASS(WRITES);
    if (file) return answer(ftruncate(file->fh, length));
    int descriptor = openat(shared_folder, below(path), O_WRONLY);
    if (descriptor < 0) return -errno;
    int result = answer(ftruncate(descriptor, length));
    close(descriptor);
    return result;
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(utimensat(shared_folder, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int fs_fallocate(const char *path, int kind, off_t at, off_t length, struct fuse_file_info *file) {
    PASS(WRITES);
    return answer(fallocate(file->fh, kind, at, length));
}

static off_t fs_lseek(const char *path, off_t at, int whence, struct fuse_file_info *file) {
    PASS(READS);
    off_t place = lseek(file->fh, at, whence);
    return place == -1 ? -errno : place;
}

static int fs_statfs(const char *path, struct statvfs *found) {
    PASS(READS);
    return answer(fstatvfs(shared_folder, found));
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config) {
    connection->want |= connection->capable & (FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
    config->use_ino = 1;
    // A file that is removed while it is open is gone for the others, too.
    config->hard_remove = 1;
    // Nothing is remembered: another host may have changed it.
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    // A mount is seen before libfuse has done with it. Only now the root may move.
    puts("ready");
    fflush(stdout);
    return NULL;
}

static const struct fuse_operations operations = {
    .init = fs_init,         .getattr = fs_getattr,   .open = fs_open,         .create = fs_create,
    .read = fs_read,         .write = fs_write,       .fsync = fs_fsync,       .flush = fs_flush,
    .release = fs_release,   .lock = fs_lock,         .flock = fs_flock,       .readdir = fs_readdir,
    .mkdir = fs_mkdir,       .unlink = fs_unlink,     .rmdir = fs_rmdir,       .rename = fs_rename,
    .link = fs_link,         .chmod = fs_chmod,       .chown = fs_chown,       .truncate = fs_truncate,
    .utimens = fs_utimens,   .fallocate = fs_fallocate, .lseek = fs_lseek,     .statfs = fs_statfs,
};

static const volatile char *word(const char *path) {
    int descriptor = open(path, O_RDWR);
    if (descriptor < 0 || ftruncate(descriptor, WORD) != 0) {
        perror(path);
        exit(1);
    }
    void *mapped = mmap(NULL, WORD, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    close(descriptor);
    return mapped;
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: faultfs FOLDER MODE LOCKS MOUNTPOINT\n");
        return 2;
    }
    shared_folder = open(words[1], O_RDONLY | O_DIRECTORY);
    if (shared_folder < 0) {
        perror(words[1]);
        return 1;
    }
    mode_word = word(words[2]);
    locks_word = word(words[3]);
    umask(0);
    // libvirt knows shared file systems by their names, in FUSE this one, and it has to take this for shared.
    char options[] = "allow_other,default_permissions,max_threads=64,max_idle_threads=64,fsname=lab,subtype=glusterfs";
    char *arguments[] = {words[0], words[4], "-f", "-o", options};
    return fuse_main(5, arguments, &operations, NULL);
}
