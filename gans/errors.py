"""The one exception whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """A mistake in what the user gave: a path, a field, an image, a checkpoint.

    Its message is one clear sentence that names what is wrong and what to do.
    Entry points print it without a traceback and exit with status 2.
    """
