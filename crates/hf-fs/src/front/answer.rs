//! One way to answer an error for all kinds of replies, and who asks.

use fuser::Errno;

/// A reply that can say an error.
pub(super) trait Answer: Send + 'static {
    /// Answers with this errno (EIO if it isn't one).
    fn fail(self, errno: i32);
}

macro_rules! answers {
    ($($reply:ident),*) => {$(
        impl Answer for fuser::$reply {
            fn fail(self, errno: i32) {
                self.error(Errno::from_i32(errno));
            }
        }
    )*};
}

answers!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyWrite,
    ReplyXattr
);

/// Set in the number of a request that is delivered again after a server's death.
const RESENT: u64 = 1 << 63;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// The request's number, the same when it is delivered again.
    pub request: u64,
    /// Did a dead server have it before?
    pub resent: bool,
    pub uid: u32,
}

impl From<&fuser::Request> for Asker {
    fn from(request: &fuser::Request) -> Asker {
        let unique = request.unique().0;
        Asker { request: unique & !RESENT, resent: unique & RESENT != 0, uid: request.uid() }
    }
}
