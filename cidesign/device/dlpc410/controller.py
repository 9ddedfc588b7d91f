"""The DLPC410: driven by its vendor's library alone, so there is nothing to open, to emulate or to upload to."""

from cidesign.device.controllers import Controller


class Dlpc410Controller(Controller):
    """Takes the ALP files of an export, by the vendor's library."""

    name = "dlpc410"
    title = "DLPC410 (DLP7000)"
    no_backend = (
        "such boards have no documented command set, only their vendor's library; `cidesign export` writes the planes "
        "that it takes"
    )
    no_virtual = (
        "such boards are driven by their vendor's library, not by a documented command set; `cidesign export` writes "
        "the files that the library takes"
    )
    no_upload = (
        "a DLPC410 board takes images from its own FPGA or over the vendor's USB interface, and no serial command "
        "interface of it is documented (TI DLPU040B); use the ALP files of the export with the vendor's library"
    )


CONTROLLER = Dlpc410Controller()
