"""The page of the local run: simulated iPhones in a browser, and what the service, APNs and the phones do.

    delivery.py    what APNs keeps for a phone that is off
    phones.py      what a person does with the phones, and their timeline
    shown_phone.py one phone: its screen, passes and notifications, saved between runs
    feed.py        brings accepted pushes from the APNs stand-in to the phones
    device_logs.py what devices report to the service's log
    items.py       pass items for the form
    guard.py       checks of the Host and Origin headers, and the headers of every response
    views.py       values that the HTML templates arrange
    app.py         the routes
    handle.py      starts and stops the process

The phones use the service by HTTP only (`infra/local/phone.py`). Only the form for items uses AWS, as a pipeline does.
"""

from infra.local.page.handle import PHONES_FILE, Page

__all__ = ["PHONES_FILE", "Page"]
