"""Train a segmentation model out of exchangeable parts.

python train.py                                          # PP-LiteSeg-T on the built-in streets
python train.py model=ppliteseg fusion=uafm_channel      # swap a part
python train.py data=camvid data.root=DIR                # real images
python train.py -m fusion=uafm_spatial,uafm_channel,add  # three runs, one after the other
python train.py --help                                   # groups and keys
segscape list fusion                                     # options of a group
"""

from segscape.cli import train

if __name__ == "__main__":
    train()
