//! Writing to standard output and standard error.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

/// Standard output. A reader that goes away early, as `head` does, ends the writing and nothing else: the work is done
/// to its end, and the exit code still tells how it went.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<Stdout>,
    closed: bool,
}

impl Output {
    /// The standard output of this process.
    pub fn new() -> Output {
        Output { out: BufWriter::new(io::stdout()), closed: false }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        self.note(written)
    }

    /// Lets what was written be seen at once.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.note(flushed)
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes out what is left.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.flush()
    }

    fn note(&mut self, result: io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(|error| anyhow::Error::new(error).context("standard output cannot be written")),
        }
    }
}

/// Says on standard error what is wrong. If nobody reads that, nobody is left to be told.
pub fn complain(text: &str) {
    let _nobody_left = writeln!(io::stderr(), "error: {text}");
}

/// The same, for programs.
pub fn complain_in_json(error: &serde_json::Value) {
    let _nobody_left = writeln!(io::stderr(), "{error}");
}

/// Says something on standard error that is not the answer itself.
pub fn remark(text: &str) {
    let _nobody_left = writeln!(io::stderr(), "{text}");
}
