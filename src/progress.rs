//! A call's way back to its client: cancellation, and progress where it was asked for.

use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use synod_tools::Call;

/// Notes of one call that wait to be sent.
const NOTES_MAX: usize = 64;

/// Done, total, message.
type Note = (f64, Option<f64>, String);

/// A call's way back to its client: cancellation, and progress if it asked for it. The second part
/// sends the progress and says how much; it ends when the call has been dropped, so that none comes
/// after the reply.
pub fn call_of(
    context: &RequestContext<RoleServer>,
) -> (Call, impl Future<Output = usize> + use<>) {
    let cancelled = context.ct.clone();
    let cancelled = Box::new(move || cancelled.is_cancelled());
    let token = context.meta.get_progress_token();
    let peer = context.peer.clone();
    let (send, receive) = match &token {
        Some(_) => {
            let (send, receive) = tokio::sync::mpsc::channel::<Note>(NOTES_MAX);
            (Some(send), Some(receive))
        }
        None => (None, None),
    };
    let progress = Box::new(move |done: f64, total: Option<f64>, message: String| {
        // A client that reads no progress must not hold up the work: what does not fit is left out.
        if send.as_ref().is_some_and(|send| send.try_send((done, total, message)).is_err()) {
            tracing::debug!("a progress note was left out");
        }
    });
    let sending = async move {
        let mut sent = 0;
        let (Some(token), Some(mut receive)) = (token, receive) else { return sent };
        while let Some((done, total, message)) = receive.recv().await {
            let mut note =
                ProgressNotificationParam::new(token.clone(), done).with_message(message);
            if let Some(total) = total {
                note = note.with_total(total);
            }
            if peer.notify_progress(note).await.is_err() {
                break;
            }
            sent += 1;
        }
        sent
    };
    (Call { progress, cancelled, ..Call::silent() }, sending)
}
