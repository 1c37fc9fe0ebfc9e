//! Asking a cloud as somebody: with a token that is renewed, until a deadline, again where that is safe.

use super::http::{Answer, Ask, CloudError, Http};
use super::keystone::{self, Token};
use super::settings::Cloud;
use crate::clock::boottime;
use crate::core::time::Instant;
use reqwest::header::HeaderName;
use reqwest::{StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// The first pause before something is asked again. Each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// While a token is still good, keystone may take no longer to give the next one.
const RENEWAL: Duration = Duration::from_secs(3);
/// A renewal that came to nothing is tried again so long after, as long as the token is good.
const RENEWED_AGAIN: Duration = Duration::from_secs(30);

/// For how long it is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one answer. A Nova that was just started takes several seconds for its first one.
    pub each: Duration,
    /// For one question, all that is asked again included.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { each: Duration::from_secs(20), whole: Duration::from_secs(60) }
    }
}

/// Whether something may be asked again when no good answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Twice is as good as once.
    Safe,
    /// It is sent once, whatever comes.
    Never,
}

/// Speaks to the services of a cloud as somebody.
#[derive(Debug)]
pub struct Session {
    http: Http,
    cloud: Cloud,
    patience: Patience,
    /// Held while keystone is asked, so that it is asked once for all who wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    /// No renewal is tried before.
    not_before: Option<Instant>,
}

/// A try that came to nothing.
struct Failed {
    error: CloudError,
    /// After which pause it may be tried again; none: it may not.
    pause: Option<Pause>,
}

enum Pause {
    /// As we see fit.
    Ours,
    /// As the server wants it.
    Theirs(Duration),
}

impl Session {
    /// Asks nobody yet.
    pub fn new(cloud: Cloud, patience: Patience) -> Result<Session, CloudError> {
        Ok(Session { http: Http::new(&cloud.verify)?, cloud, patience, state: Mutex::default() })
    }

    /// Which cloud it is.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// What keystone says of whoever asks.
    pub async fn who(&self) -> Result<Who, CloudError> {
        let token = self.token_at_last().await?;
        let said = &token.said;
        Ok(Who {
            user: said.user.name.clone(),
            project: said.project.as_ref().map(|project| project.name.clone()),
            roles: said.roles.iter().map(|role| role.name.clone()).collect(),
        })
    }

    /// Where a kind of service is, and in which region.
    pub(super) async fn endpoint(&self, kind: &str) -> Result<(Url, String), CloudError> {
        self.token_at_last().await?.said.endpoint(kind, &self.cloud)
    }

    /// Asks, and answers with what was answered well.
    pub(super) async fn ask(&self, ask: &Ask, again: Again) -> Result<Answer, CloudError> {
        let mut is_renewed = false;
        let end = boottime() + self.patience.whole;
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match self.attempt(ask, again, end, &mut is_renewed).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            pause = wait(failed, pause, end).await?;
        }
    }

    /// A token, asked for until patience is at an end.
    async fn token_at_last(&self) -> Result<Arc<Token>, CloudError> {
        let end = boottime() + self.patience.whole;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.token(end).await {
                Ok(token) => return Ok(token),
                Err(error) => pause = wait(Failed::before(error), pause, end).await?,
            }
        }
    }

    async fn attempt(&self, ask: &Ask, again: Again, end: Instant, renewed: &mut bool) -> Result<Answer, Failed> {
        let token = self.token(end).await.map_err(Failed::before)?;
        let mut answer = self.send(ask, &token, end).await;
        // The token may have been revoked, or its end came sooner than was said. Nova has not looked at the request: so
        // anything may be sent once more.
        if matches!(&answer, Ok(answer) if answer.status == StatusCode::UNAUTHORIZED) && !*renewed {
            *renewed = true;
            self.forget(&token).await;
            let token = self.token(end).await.map_err(Failed::before)?;
            answer = self.send(ask, &token, end).await;
        }
        judge(ask, again, answer)
    }

    async fn send(&self, ask: &Ask, token: &Token, end: Instant) -> Result<Answer, CloudError> {
        let mut ask = ask.clone();
        ask.headers.insert(AUTH_TOKEN, token.secret.clone());
        self.http.send(&ask, self.patience.each.min(end.since(boottime()))).await
    }

    /// A token that is good now. One whose end is near is renewed; if that cannot be, it serves on to its end.
    async fn token(&self, end: Instant) -> Result<Arc<Token>, CloudError> {
        let left = end.since(boottime());
        let locked = tokio::time::timeout(left, self.state.lock()).await;
        let mut state = locked.map_err(|_| CloudError::Unreachable {
            place: super::http::place(&self.cloud.keystone),
            why: "others wait for its word, too".to_owned(),
        })?;
        let now = boottime();
        let good = state.token.clone().filter(|token| now < token.ends_at);
        if let Some(token) = &good
            && (now < token.renew_at || state.not_before.is_some_and(|instant| now < instant))
        {
            return Ok(Arc::clone(token));
        }
        let patience = self.patience.each.min(end.since(now));
        let patience = if good.is_some() { patience.min(RENEWAL) } else { patience };
        match (keystone::issue(&self.http, &self.cloud, now, patience).await, good) {
            (Ok(token), _) => {
                let token = Arc::new(token);
                *state = State { token: Some(Arc::clone(&token)), not_before: None };
                Ok(token)
            }
            (Err(error), Some(token)) => {
                tracing::warn!("the token of cloud \"{}\" could not be renewed yet: {error}", self.cloud.name);
                state.not_before = Some(boottime() + RENEWED_AGAIN);
                Ok(token)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Does not use this token again.
    async fn forget(&self, spent: &Arc<Token>) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, spent)) {
            *state = State::default();
        }
    }
}

/// Who asks, by keystone's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user.
    pub user: String,
    /// The project in which the roles are held.
    pub project: Option<String>,
    /// The roles.
    pub roles: Vec<String>,
}

impl Failed {
    /// Nothing was sent yet, as there was no token to send it with.
    fn before(error: CloudError) -> Failed {
        let pause = match &error {
            CloudError::Denied { .. } | CloudError::Unfit(_) | CloudError::Nonsense { .. } => None,
            CloudError::Refused { status, .. } if !is_passing(*status) => None,
            _ => Some(Pause::Ours),
        };
        // What was to be asked was not: so much is certain, whatever became of the question for a token.
        let error = match error.is_certain() {
            true => error,
            false => CloudError::Unreachable { place: "keystone".to_owned(), why: error.to_string() },
        };
        Failed { error, pause }
    }
}

fn judge(ask: &Ask, again: Again, answer: Result<Answer, CloudError>) -> Result<Answer, Failed> {
    let is_safe = again == Again::Safe;
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(answer),
        Ok(answer) => {
            let wanted = answer.retry_after();
            // Those who count requests say so with 429, and long ago with 413 and the time to wait.
            let is_limit = answer.status == StatusCode::PAYLOAD_TOO_LARGE && wanted.is_some();
            let is_passing = is_passing(answer.status.as_u16()) || is_limit;
            let pause = (is_safe && is_passing).then(|| wanted.map_or(Pause::Ours, Pause::Theirs));
            Err(Failed { error: answer.refusal(ask), pause })
        }
        Err(error @ (CloudError::Unreachable { .. } | CloudError::Lost { .. })) => {
            Err(Failed { error, pause: is_safe.then_some(Pause::Ours) })
        }
        Err(error) => Err(Failed { error, pause: None }),
    }
}

/// Whether a status says that it may go better another time.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

/// Waits before the next try, if there is to be one, and says how long the pause after that is.
async fn wait(failed: Failed, pause: Duration, end: Instant) -> Result<Duration, CloudError> {
    let length = match failed.pause {
        None => return Err(failed.error),
        Some(Pause::Ours) => pause,
        // Whoever says that there is nothing to wait for may say so for ever.
        Some(Pause::Theirs(length)) => length.max(pause),
    };
    if length >= end.since(boottime()) {
        return Err(failed.error);
    }
    tokio::time::sleep(length).await;
    Ok((pause * 2).min(LONGEST_PAUSE))
}
