"""What the tests know of every page."""


def submit_of(form: str) -> str:
    """The selector of a form's button, which may stand in the page's dock instead of in the form."""
    return f"#{form} button:not([type=button]), button[form={form}]:not([type=button])"
