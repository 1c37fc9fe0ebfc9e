//! Asking guests: their agents by the hypervisor, their services by TCP, HTTP or a program.
//!
//! Each question is a task of its own with a deadline, and the node asks no more than a few at once. What is asked here
//! is whether somebody answers, not who: no certificate is checked, and nothing that is answered is read.

use super::input::Answer;
use crate::clock::boottime;
use crate::core::action::{Event, GuestAnswer};
use crate::core::ids::Ticket;
use crate::core::state::{Probe, UpMeans};
use crate::node::NodeEvent;
use crate::notify;
use crate::platform::{GuestAgent, Live};
use crate::trust::use_ring;
use reqwest::redirect;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use uuid::Uuid;

/// So many agents in guests are asked at once, each by a thread that a hypervisor may keep waiting.
const AGENTS: usize = 16;

/// Asks guests.
#[derive(Clone)]
pub(super) struct GuestAsker {
    live: Arc<dyn Live>,
    commands: Arc<BTreeMap<String, Vec<String>>>,
    /// Nothing, where no client can be made: then nobody is asked by HTTP.
    http: Option<reqwest::Client>,
    threads: Arc<Semaphore>,
    answers: mpsc::UnboundedSender<Answer>,
}

impl GuestAsker {
    pub(super) fn new(
        live: Arc<dyn Live>,
        commands: BTreeMap<String, Vec<String>>,
        answers: mpsc::UnboundedSender<Answer>,
    ) -> GuestAsker {
        let threads = Arc::new(Semaphore::new(AGENTS));
        GuestAsker { live, commands: Arc::new(commands), http: client(), threads, answers }
    }

    /// Asks a guest. The answer comes as an event.
    pub(super) fn ask(&self, ticket: Ticket, uuid: u128, up: UpMeans, within: Duration) {
        let asker = self.clone();
        tokio::spawn(async move {
            let answer = asker.answer(Uuid::from_u128(uuid), &up, within).await;
            // A loop that has ended waits for nothing.
            let _ = asker.answers.send(Answer::Event(NodeEvent::Core(Event::GuestAnswered { ticket, answer })));
        });
    }

    async fn answer(&self, uuid: Uuid, up: &UpMeans, within: Duration) -> GuestAnswer {
        let answers = match up {
            UpMeans::Running => None,
            UpMeans::Agent => return self.agent(uuid, within).await,
            UpMeans::Probe(Probe::Tcp { address }) => {
                Some(matches!(timeout(within, TcpStream::connect(address.as_str())).await, Ok(Ok(_))))
            }
            UpMeans::Probe(Probe::Http { url, status }) => self.http(url, *status, within).await,
            UpMeans::Probe(Probe::Command { name }) => self.command(name, uuid, within).await,
        };
        GuestAnswer { answers, system: None }
    }

    async fn agent(&self, uuid: Uuid, within: Duration) -> GuestAnswer {
        let Ok(place) = Arc::clone(&self.threads).try_acquire_owned() else { return GuestAnswer::default() };
        let (live, deadline) = (Arc::clone(&self.live), boottime() + within);
        let told = tokio::task::spawn_blocking(move || {
            let guest = live.guest(uuid, deadline);
            drop(place);
            guest
        });
        match timeout(within * 2, told).await {
            Ok(Ok(Ok(guest))) => {
                // A VM without a way to an agent has none that answers.
                GuestAnswer { answers: Some(guest.agent == GuestAgent::Answers), system: guest.system }
            }
            Ok(Ok(Err(why))) => {
                tracing::debug!(vm = %uuid, why, "the agent of a guest could not be asked");
                GuestAnswer::default()
            }
            Ok(Err(_)) | Err(_) => GuestAnswer::default(),
        }
    }

    async fn http(&self, url: &str, wanted: Option<u16>, within: Duration) -> Option<bool> {
        let answer = self.http.as_ref()?.get(url).timeout(within).send().await;
        Some(answer.is_ok_and(|answer| match wanted {
            Some(wanted) => answer.status().as_u16() == wanted,
            None => answer.status().is_success(),
        }))
    }

    async fn command(&self, name: &str, uuid: Uuid, within: Duration) -> Option<bool> {
        let Some(command) = self.commands.get(name) else {
            tracing::warn!(vm = %uuid, command = name, "a VM is to be asked by a command that [commands] does not name");
            return None;
        };
        let words: Vec<String> = command.iter().cloned().chain([uuid.to_string()]).collect();
        Some(notify::run(&words, &[], within).await.is_ok())
    }
}

/// A client that makes a connection of its own for each question, as somebody would who has just come.
fn client() -> Option<reqwest::Client> {
    use_ring();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .tls_danger_accept_invalid_certs(true)
        .pool_max_idle_per_host(0)
        .build();
    client.inspect_err(|error| tracing::error!(%error, "no guest can be asked by HTTP")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Guest, Reading};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(20);
    const BRIEFLY: Duration = Duration::from_millis(200);

    /// A hypervisor whose guest is as it is told to be.
    struct Told(Result<Guest, String>);

    impl Live for Told {
        fn reading(&self, _deadline: crate::core::time::Instant) -> Result<Reading, String> {
            Err("nobody asks".to_owned())
        }

        fn guest(&self, _uuid: Uuid, _deadline: crate::core::time::Instant) -> Result<Guest, String> {
            self.0.clone()
        }
    }

    fn asker(
        guest: Result<Guest, String>,
        commands: &[(&str, &[&str])],
    ) -> (GuestAsker, mpsc::UnboundedReceiver<Answer>) {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let commands = commands.iter().map(|(name, argv)| ((*name).to_owned(), words(argv))).collect();
        let (answers, answered) = mpsc::unbounded_channel();
        (GuestAsker::new(Arc::new(Told(guest)), commands, answers), answered)
    }

    /// What comes of one question.
    async fn ask(up: &str, within: Duration, commands: &[(&str, &[&str])]) -> Option<bool> {
        let (asker, _answered) = asker(Err("no agent".to_owned()), commands);
        asker.answer(Uuid::from_u128(7), &up.parse().expect("a probe"), within).await.answers
    }

    /// A web server that answers everybody with this line.
    async fn web(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _asked = stream.read(&mut [0; 1_024]).await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("it is sent");
            }
        });
        format!("http://{address}/health")
    }

    #[tokio::test]
    async fn a_port_answers_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let up = format!("tcp:{}", listener.local_addr().expect("its address"));
        assert_eq!(ask(&up, LIMIT, &[]).await, Some(true));
        drop(listener);
        assert_eq!(ask(&up, LIMIT, &[]).await, Some(false));
    }

    #[tokio::test]
    async fn the_web_answers_with_success_or_with_what_is_wanted() {
        let (good, moved, bad) = (web("204 No Content").await, web("302 Found").await, web("503 Busy").await);
        assert_eq!(ask(&good, LIMIT, &[]).await, Some(true));
        assert_eq!(ask(&moved, LIMIT, &[]).await, Some(false), "nobody is sent elsewhere");
        assert_eq!(ask(&bad, LIMIT, &[]).await, Some(false));
        let (asker, _answered) = asker(Err(String::new()), &[]);
        let wanted = UpMeans::Probe(Probe::Http { url: bad, status: Some(503) });
        assert_eq!(asker.answer(Uuid::nil(), &wanted, LIMIT).await.answers, Some(true));
        // One that takes the connection and says nothing.
        let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", deaf.local_addr().expect("its address"));
        assert_eq!(ask(&url, BRIEFLY, &[]).await, Some(false));
    }

    #[tokio::test]
    async fn a_program_of_this_host_answers_with_its_end() {
        let uuid = Uuid::from_u128(7).to_string();
        let is_told = format!("[ \"$1\" = {uuid} ]");
        let commands: [(&str, &[&str]); 3] = [
            ("good", &["/bin/sh", "-c", &is_told, "sh"]),
            ("bad", &["/bin/sh", "-c", "exit 3", "sh"]),
            ("slow", &["/bin/sh", "-c", "sleep 1000", "sh"]),
        ];
        assert_eq!(ask("command:good", LIMIT, &commands).await, Some(true));
        assert_eq!(ask("command:bad", LIMIT, &commands).await, Some(false));
        assert_eq!(ask("command:slow", BRIEFLY, &commands).await, Some(false));
        assert_eq!(ask("command:none", LIMIT, &commands).await, None, "who cannot ask says nothing of the guest");
    }

    #[tokio::test]
    async fn an_agent_is_asked_by_the_hypervisor() {
        let system = Some("Debian GNU/Linux 12".to_owned());
        let guest = |agent| Ok(Guest { agent, system: system.clone() });
        for (guest, answers) in [
            (guest(GuestAgent::Answers), Some(true)),
            (guest(GuestAgent::Silent), Some(false)),
            (guest(GuestAgent::None), Some(false)),
            (Err("its daemon hangs".to_owned()), None),
        ] {
            let known = guest.as_ref().ok().and_then(|guest| guest.system.clone());
            let (asker, mut answered) = asker(guest, &[]);
            asker.ask(Ticket(3), 7, UpMeans::Agent, LIMIT);
            let answer = answered.recv().await;
            let Some(Answer::Event(NodeEvent::Core(Event::GuestAnswered { ticket: Ticket(3), answer }))) = answer
            else {
                panic!("it is answered");
            };
            assert_eq!(answer, GuestAnswer { answers, system: known });
        }
    }
}
