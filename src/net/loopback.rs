//! A real HTTP server on loopback for tests: it writes raw bytes and counts what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the server does with the next requests.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// These bytes, then silence.
    Hang(Vec<u8>),
    /// This head, then zeros without end.
    Flood(Vec<u8>),
}

impl Answer {
    pub(crate) fn json(body: &str) -> Self {
        Self::with_type("application/json", body)
    }

    pub(crate) fn with_type(media_type: &str, body: &str) -> Self {
        Self::Raw(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )
    }

    pub(crate) fn raw(text: &str) -> Self {
        Self::Raw(text.as_bytes().to_vec())
    }
}

type Answers = Mutex<Box<dyn Fn(&str) -> Answer + Send>>;

pub(crate) struct Loopback {
    port: u16,
    answers: Arc<Answers>,
    asked: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Loopback {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Arc<Answers> = Arc::new(Mutex::new(Box::new(move |_| answer.clone())));
        let (count, asked) = watch::channel(0);
        let shared = Arc::clone(&answers);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                let count = count.clone();
                tokio::spawn(async move { serve(stream, &shared, &count).await });
            }
        });
        Self {
            port,
            answers,
            asked,
            task,
        }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.answer_by(move |_| answer.clone());
    }

    /// Answers by the request line's target.
    pub(crate) fn answer_by(&self, answer: impl Fn(&str) -> Answer + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How many requests have arrived.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until this many requests have arrived.
    pub(crate) async fn until_asked(&mut self, count: usize) {
        self.asked.wait_for(|asked| *asked >= count).await.unwrap();
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: &Answers, count: &watch::Sender<usize>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = answers.lock().unwrap()(&target);
    count.send_modify(|count| *count += 1);
    match answer {
        Answer::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        Answer::Flood(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let zeros = vec![b'0'; 64 * 1024];
            while stream.write_all(&zeros).await.is_ok() {}
        }
    }
}
